// Bodies say only what was asked for: what is absent is the API's to fill in.

export type Json = Record<string, unknown>;

/** Without what is undefined, and without empty lists and objects. */
export function said(members: Json): Json {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => {
    if (value === undefined) return false;
    if (Array.isArray(value)) return value.length > 0;
    return typeof value !== 'object' || value === null || Object.keys(value).length > 0;
  }));
}
