// Looks at the layout of a page as it is shown now, and returns what is wrong with it,
// one sentence each. Evaluated by test/browser with the keys of all texts.
(keys) => {
  "use strict";
  const found = [];
  const root = document.documentElement;
  const name = (e) => {
    const text = (e.getAttribute("aria-label") || e.textContent || "").trim().replace(/\s+/g, " ").slice(0, 40);
    return e.localName + (e.id ? "#" + e.id : "") + [...e.classList].map((c) => "." + c).join("") + (text ? " “" + text + "”" : "");
  };
  const rest = 1; // what rounding may leave

  const over = root.scrollWidth - root.clientWidth;
  if (over > 0) found.push(`the page is ${over} px wider than the window`);

  // A part that is there for those who listen is cut to nothing on purpose.
  const isNothing = (e) => e && e !== document.body && (e.clientWidth === 1 && e.clientHeight === 1 || isNothing(e.parentElement));
  const isUnseen = (e) => e.closest(".skip, noscript, script, style, head, symbol, defs") !== null || isNothing(e);
  const isShown = (e) => !isUnseen(e) && e.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const elements = [...document.body.querySelectorAll("*")].filter(isShown);

  // Whoever can scroll to it misses nothing; whoever cannot does.
  const style = new Map(elements.map((e) => [e, getComputedStyle(e)]));
  const hides = (value) => value === "hidden" || value === "clip";
  for (const e of elements) {
    if (e instanceof SVGElement || e.localName === "select" || e.localName === "input") continue;
    const s = style.get(e);
    if (s.textOverflow === "ellipsis" && e.title) continue; // it says that there is more, and what
    if (hides(s.overflowX) && e.scrollWidth > e.clientWidth + rest) found.push(`${e.scrollWidth - e.clientWidth} px of ${name(e)} are cut off sideways`);
    if (hides(s.overflowY) && e.scrollHeight > e.clientHeight + rest) found.push(`${e.scrollHeight - e.clientHeight} px of ${name(e)} are cut off below`);
  }

  // Lines of text, as far as they are not scrolled out of sight.
  const lines = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const shownWithin = new Map();
  const frame = (e) => { // the part of the window in which an element can be seen
    if (!e || e === document.body) return { left: 0, right: root.clientWidth, top: -Infinity, bottom: Infinity };
    if (!shownWithin.has(e)) {
      let { left, right, top, bottom } = frame(e.parentElement);
      const s = getComputedStyle(e);
      if (s.overflowX !== "visible" || s.overflowY !== "visible") {
        const box = e.getBoundingClientRect();
        [left, right, top, bottom] = [Math.max(left, box.left), Math.min(right, box.right), Math.max(top, box.top), Math.min(bottom, box.bottom)];
      }
      const scrolls = s.overflowX === "auto" || s.overflowX === "scroll" || (s.textOverflow === "ellipsis" && e.title !== "") || frame(e.parentElement).scrolls;
      shownWithin.set(e, { left, right, top, bottom, scrolls });
    }
    return shownWithin.get(e);
  };
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const within = node.parentElement;
    if (!node.data.trim() || !isShown(within) || within.closest("select, textarea, svg")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const seen = frame(within);
    for (const box of range.getClientRects()) {
      if (box.width < 1) continue;
      if (!seen.scrolls && (box.right > seen.right + rest || box.left < seen.left - rest)) found.push(`“${node.data.trim().slice(0, 40)}” in ${name(within)} sticks out sideways`);
      const [left, right] = [Math.max(box.left, seen.left), Math.min(box.right, seen.right)];
      const slack = box.height / 4; // letters do not fill their line
      const [top, bottom] = [Math.max(box.top + slack, seen.top), Math.min(box.bottom - slack, seen.bottom)];
      if (left < right && top < bottom) lines.push({ left, right, top, bottom, node });
    }
  }
  lines.sort((a, b) => a.top - b.top);
  for (let i = 0; i < lines.length; i++) {
    for (let j = i + 1; j < lines.length && lines[j].top < lines[i].bottom - rest; j++) {
      const [a, b] = [lines[i], lines[j]];
      if (a.node !== b.node && a.left < b.right - rest && b.left < a.right - rest) {
        found.push(`“${a.node.data.trim().slice(0, 40)}” and “${b.node.data.trim().slice(0, 40)}” are on top of each other`);
      }
    }
  }

  // WCAG 2.2, 2.5.8: 24 by 24, but for links within a sentence.
  const smallest = 24;
  for (const e of elements) {
    if (!e.matches("a[href], button, input:not([type=hidden]), select, textarea, summary, [role=button], [role=switch]")) continue;
    const inSentence = e.localName === "a" && style.get(e).display === "inline" &&
      e.parentElement.textContent.trim().length > e.textContent.trim().length;
    if (inSentence) continue;
    const boxes = [e, ...(e.labels && ["checkbox", "radio"].includes(e.type) ? e.labels : [])].map((one) => one.getBoundingClientRect());
    const width = Math.max(...boxes.map((b) => b.width)), height = Math.max(...boxes.map((b) => b.height));
    if (width < smallest - 0.5 || height < smallest - 0.5) found.push(`${name(e)} is ${Math.round(width)} × ${Math.round(height)} px, which is hard to hit`);
  }

  // What a template left behind.
  for (const { node } of lines) {
    if (node.parentElement.closest("pre, code")) continue;
    if (/\{\{|%!|<no value>|\[object /.test(node.data)) found.push(`“${node.data.trim().slice(0, 60)}” is no text for people`);
    const key = keys.find((k) => node.data.includes(k));
    if (key) found.push(`the text ${key} is missing`);
  }
  return JSON.stringify([...new Set(found)]);
}
