// Ends an animation that Gradio leaves running. Needs a browser.

/** The file of Gradio's loading indicator, in the stack of a call. */
const INDICATOR = /\/statustracker-[^/]*\.js/;

/**
 * Refuse frames to Gradio's loading indicator. Must run before Gradio's script, which keeps the function.
 *
 * Gradio 6.31 removes the indicator when the page is there, but its animation goes on: 60 frames a second, which take
 * 3 % of a processor core for as long as the page is open.
 *
 * @param {Window} browser
 */
export function endLoadingAnimation(browser) {
  const { requestAnimationFrame } = browser;
  browser.requestAnimationFrame = (callback) => {
    if (!INDICATOR.test(new Error().stack ?? '')) return requestAnimationFrame.call(browser, callback);
    browser.requestAnimationFrame = requestAnimationFrame; // for everybody else
    return 0;
  };
}
