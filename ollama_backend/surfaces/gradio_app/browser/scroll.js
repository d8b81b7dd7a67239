// The conversation follows the text while its reader is at the bottom.
let following = true, talk = null;
function toEnd(always) {
  if (always) following = true;
  if (talk && following) talk.scrollTop = talk.scrollHeight;
}
function watchTalk() {
  const found = document.getElementById('talk');
  if (!found || found === talk) return;
  talk = found;
  const place = ofTab('chat.scroll');
  following = place?.id !== cur || place.bottom;
  let wanted = following ? null : place.top;
  // Only people turn the following off: the text itself grows and shrinks under the scroll bar.
  let byHand = 0;
  for (const sign of ['wheel', 'touchmove', 'pointerdown', 'keydown']) talk.addEventListener(sign, () => { byHand = Date.now() + 600; wanted = null }, {passive: true});
  talk.addEventListener('scroll', () => {
    const atEnd = talk.scrollHeight - talk.scrollTop - talk.clientHeight < 80;
    if (Date.now() < byHand) { following = atEnd; byHand = Math.max(byHand, Date.now() + 150) }
    else following ||= atEnd;
    drawTail();
  }, {passive: true});
  const sized = new ResizeObserver(() => {
    if (wanted !== null && talk.scrollHeight - talk.clientHeight >= wanted) { talk.scrollTop = wanted; wanted = null }
    toEnd();
  });
  sized.observe(talk);
  // Gradio draws the Chatbots later than the rest.
  const grown = () => { for (const child of talk.children) sized.observe(child); decorateSoon() };
  new MutationObserver(grown).observe(talk, {childList: true, subtree: true});
  grown();
}
const ofTab = name => { try { return JSON.parse(tab.getItem(name)) } catch { return null } };
addEventListener('pagehide', () => { if (talk) tab.setItem('chat.scroll', JSON.stringify({id: cur, top: talk.scrollTop, bottom: following})) });
