// The conversation follows the text while its reader is at the bottom.
let following = true, talk = null;
function follow_(always) {
  if (always) following = true;
  if (talk && following) talk.scrollTop = talk.scrollHeight;
}
function watchTalk() {
  const found = document.getElementById('talk');
  if (!found || found === talk) return;
  talk = found;
  const place = get_('chat.scroll');
  following = place?.id !== cur || place.bottom;
  let wanted = following ? null : place.top;
  talk.addEventListener('scroll', () => {
    following = talk.scrollHeight - talk.scrollTop - talk.clientHeight < 80;
    drawTail();
  }, {passive: true});
  const sized = new ResizeObserver(() => {
    if (wanted !== null && talk.scrollHeight - talk.clientHeight >= wanted) { talk.scrollTop = wanted; wanted = null }
    follow_();
  });
  sized.observe(talk);
  for (const child of talk.children) sized.observe(child);
}
const get_ = name => { try { return JSON.parse(tab.getItem(name)) } catch { return null } };
addEventListener('pagehide', () => { if (talk) tab.setItem('chat.scroll', JSON.stringify({id: cur, top: talk.scrollTop, bottom: following})) });
