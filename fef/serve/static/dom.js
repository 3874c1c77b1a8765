// Elements without markup: text is always text.

export function element(tag, properties = {}, ...children) {
  const { dataset, aria, ...rest } = properties;
  const made = Object.assign(document.createElement(tag), rest);
  for (const [name, value] of Object.entries(aria ?? {})) made.setAttribute(name === "role" ? "role" : `aria-${name}`, value);
  Object.assign(made.dataset, dataset ?? {});
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const byId = (id) => document.getElementById(id);

export const number = (value, digits = 0) =>
  value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

export function probability(logprob) {
  const p = Math.exp(logprob);
  if (p >= 0.9995) return p >= 0.999999 ? "1" : "> 0.999";
  if (p >= 0.001 || !p) return p.toFixed(3);
  const [digits, power] = p.toExponential(1).split("e-");
  return `${digits} \u00d7 10\u207b${[...power].map((digit) => "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"[digit]).join("")}`;
}
