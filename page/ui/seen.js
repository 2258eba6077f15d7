/** Calls `work` once an element is on the screen: what nobody looks at need not be computed. A later call replaces an earlier one. */
export function whenSeen(element, work) {
  waiting.get(element)?.disconnect();
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    work();
  });
  waiting.set(element, observer);
  observer.observe(element);
}

const waiting = new WeakMap();
