// The keyboard, and where links lead.
const focusBox = () => document.querySelector('#box textarea')?.focus({preventScroll: true});
const isTyping = () => /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName) || document.activeElement?.isContentEditable;
addEventListener('keydown', event => {
  if (event.isComposing || document.querySelector('dialog[open]')) return;
  if (event.key === 'Escape') {
    if (isNarrow() && sideIsOpen()) openSide(false);
    else if (turn && !document.activeElement?.matches('#main textarea')) stop();
  } else if (event.key.toLowerCase() === 'o' && event.shiftKey && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    doAct('fresh');
    focusBox();
  } else if (event.key === '/' && !isTyping()) {
    event.preventDefault();
    focusBox();
  } else if (event.key === ' ' && document.activeElement?.matches('.thought-group .title')) {
    event.preventDefault();
    document.activeElement.click();
  }
});
// Links of a conversation open outside of this frame, and only those that lead to the web or to a mail.
addEventListener('click', event => {
  const link = event.target.closest?.('#talk a[href]');
  if (!link) return;
  const to = link.getAttribute('href').trim();
  if (/^(https?:|mailto:)/i.test(to)) {
    link.target = '_blank';
    link.rel = 'noopener noreferrer nofollow';
  } else event.preventDefault();
}, true);
