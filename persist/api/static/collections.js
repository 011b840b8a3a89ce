// The list of collections, which the documentation page and the console share.

/** More collections than this have a box to search them. */
export const MANY = 10;

/**
 * The collections whose name or description contains a text, in upper or lower case.
 * @template {{name: string, description?: string | null}} Collection
 * @param {Collection[]} collections
 * @param {string} text
 * @returns {Collection[]}
 */
export function matching(collections, text) {
  const wanted = text.trim().toLowerCase();
  return collections.filter(({ name, description }) => `${name} ${description ?? ""}`.toLowerCase().includes(wanted));
}
