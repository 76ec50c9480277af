type Child = Node | string;

/**
 * Makes an element. Text always goes in as text, never as HTML. Attributes that are false or
 * undefined are left out; true means present.
 */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes?: Record<string, string | boolean | undefined>,
  ...children: Child[]
): HTMLElementTagNameMap[K];
export function element(
  tag: string,
  attributes?: Record<string, string | boolean | undefined>,
  ...children: Child[]
): HTMLElement;
export function element(
  tag: string,
  attributes: Record<string, string | boolean | undefined> = {},
  ...children: Child[]
): HTMLElement {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(made, name, value);
  made.append(...children);
  return made;
}

/** Sets or removes; touches the document only on a change. */
export function setAttribute(target: Element, name: string, value: string | boolean | undefined): void {
  const wanted = value === true ? '' : value === false ? undefined : value;
  if (wanted === undefined) target.removeAttribute(name);
  else if (target.getAttribute(name) !== wanted) target.setAttribute(name, wanted);
}

/** Sets the text; touches the document only on a change, so that selections and readers are left alone. */
export function setText(target: Element, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}

export function show(target: HTMLElement, visible: boolean): void {
  if (target.hidden === visible) target.hidden = !visible;
}

/** Brings the children into this order, moving as few as possible. */
export function arrange(parent: Element, children: Element[]): void {
  const wanted = new Set<Element>(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, i) => {
    if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] ?? null);
  });
}
