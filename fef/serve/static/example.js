// A grammar from one example of the right form, for `structured_outputs`.

export function grammarOf(example) {
  const text = example.trim();
  if (!text) return null;
  try {
    const value = JSON.parse(text);
    if (value !== null && typeof value === "object") return { json: schemaOf(value) };
  } catch {
    // no JSON
  }
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  return lines.length > 1 ? { choice: [...new Set(lines)] } : { regex: patternOf(text) };
}

function schemaOf(value) {
  if (value === null) return { type: "null" };
  if (Array.isArray(value)) return value.length ? { type: "array", items: schemaOf(value[0]) } : { type: "array" };
  if (typeof value === "object") {
    const properties = Object.fromEntries(Object.entries(value).map(([name, each]) => [name, schemaOf(each)]));
    return { type: "object", properties, required: Object.keys(value), additionalProperties: false };
  }
  return { type: Number.isInteger(value) ? "integer" : typeof value };
}

// Digits stand for as many digits, words for words of the same kind, and all else for itself.
function patternOf(text) {
  return text.replace(/\d+|[A-Z][a-z]*|[a-z]+|[^A-Za-z0-9]/g, (part) => {
    if (/\d/.test(part)) return part.length > 1 ? `[0-9]{${part.length}}` : "[0-9]";
    if (/^[A-Z]/.test(part)) return part.length > 1 ? "[A-Z][a-z]+" : "[A-Z]";
    if (/^[a-z]/.test(part)) return "[a-z]+";
    return part.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");
  });
}
