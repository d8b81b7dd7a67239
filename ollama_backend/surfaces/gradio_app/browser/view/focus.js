// Where the keyboard is. Needs a browser.

export const focusBox = () => document.getElementById('box-text')?.focus({ preventScroll: true });

/** Whether a key belongs to an input method that is composing a word. @param {KeyboardEvent} event */
export const isComposing = (event) => event.isComposing || event.keyCode === 229;

export const isTyping = () => /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? '');
