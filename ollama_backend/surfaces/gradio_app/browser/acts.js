// What people do. Every act writes the store and shows what it then holds, without a request.
const acts = {
  // A frame may not take the focus from the page around it, and on a phone the keyboard would cover the page.
  load() { if (window.parent === window && !matchMedia('(pointer: coarse)').matches) focusBox() },
  send(text) {
    const c = conv();
    if (c.turn || !text?.trim() && !attached.length) return;
    if (site.access === 'denied') return askForKey();
    if (attached.length && !modelNow()?.sees) return notify(cannotSee());
    c.messages.push({role: 'user', text: text.trim() ? text : 'Describe the picture.', ...(attached.length ? {images: attached} : {})});
    attached = [];
    notice = null;
    draft('');
    begin(c);
  },
  retry() {
    const c = upToQuestion(conv());
    if (!c.turn && c.messages.length && site.access !== 'denied') begin(c);
  },
  undo() {
    const c = conv();
    if (c.turn) return;
    const question = upToQuestion(c).messages.pop();
    if (!question) return;
    save(c);
    attached = question.images ?? [];
    draft(question.text);
  },
  edit(boxes) {
    const c = conv(), owners = c.messages.flatMap(m => bubbles(m).map(() => m));
    const changed = boxes.findIndex((box, i) => owners[i]?.role === 'user' && boxText(box) !== shown(owners[i].text));
    if (c.turn || changed < 0) return;
    const text = original(boxText(boxes[changed]));
    c.messages = [...c.messages.slice(0, c.messages.indexOf(owners[changed])), {...owners[changed], text}];
    begin(c);
  },
  open(id) { flush(); go(id) },
  fresh() { flush(); go(newId()) },
  clear() { acts.remove(cur) },
  remove(id) {
    if (id === cur) dropped = turn?.id ?? null;
    forgetPictures(conv(id).messages);
    forget(id);
    if (id === cur) go(newId());
  },
};
const boxText = box => box.content.map(piece => piece.text ?? '').join('');
const upToQuestion = c => { while (c.messages.length && c.messages.at(-1).role !== 'user') c.messages.pop(); return c };
function begin(c) {
  const id = newId();
  c.messages.at(-1).turn = id;
  c.turn = {id, seen: false, text: c.messages.at(-1).text, ask: asked()};
  part = null;
  split = null;
  save(c);
  announce('Sent');
  toEnd(true);
}
function act(name, ...values) {
  if (name) acts[name](...values);
  return view();
}
function view() {
  const c = conv();
  adopt(c);
  drawAll();
  decorateSoon();
  return [
    c.messages.flatMap(bubbles),
    turn ? liveBubbles() : [],
    {__type__: 'update', value: tab.getItem('chat.draft') ?? '', submit_btn: !turn, stop_btn: !!turn},
  ];
}
// An act from this script's own buttons: it is done by the listener that also follows.
function doAct(name, ...values) {
  acts[name](...values);
  trigger('submit');
}
const draft = text => tab.setItem('chat.draft', text ?? '');
// What people type, and nothing that this script puts into the box itself: Gradio tells of that later.
addEventListener('input', event => { if (event.target.matches?.('#box textarea')) draft(event.target.value) });
