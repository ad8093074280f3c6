// Values that do not fit a JSON schema, with the name of the member that an answer must give. Pure.

/** The part of JSON schema that the API's document uses. */
export type Schema = {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly required?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
};

export type Wrong = { readonly field: string; readonly value: unknown; readonly why: string };

const kinds = (schema: Schema): Set<string> => new Set([...(typeof schema.type === 'string' ? [schema.type] : schema.type ?? []), ...(schema.anyOf ?? []).flatMap((one) => [...kinds(one)])]);

const samples: readonly (readonly [kind: string, value: unknown])[] = [['string', 'text'], ['number', 1.5], ['boolean', true], ['array', [[[]]]], ['object', { x: { y: {} } }]];

/** Values of every type that the schema does not take, numbers beyond its bounds, and texts that are none. */
function wrongFor(schema: Schema): { value: unknown; why: string }[] {
  const allowed = kinds(schema);
  if (allowed.size === 0) return [];
  const wrong = samples.filter(([kind]) => !allowed.has(kind) && !(kind === 'object' && schema.additionalProperties === true)).map(([kind, value]) => ({ value, why: `a ${kind}` }));
  if (allowed.has('integer')) {
    wrong.push({ value: 1e300, why: 'an absurd number' });
    if (schema.minimum !== undefined && schema.minimum > Number.MIN_SAFE_INTEGER) wrong.push({ value: schema.minimum - 1, why: 'below the least' });
    if (schema.maximum !== undefined && schema.maximum < Number.MAX_SAFE_INTEGER) wrong.push({ value: schema.maximum + 1, why: 'above the most' });
  }
  if (allowed.has('string')) wrong.push({ value: 'a\0b', why: 'a NUL' }, { value: 'lone \ud800', why: 'half a character' });
  return wrong;
}

/** For an object's schema: whole bodies, each wrong in one member. */
export function wrongBodies(schema: Schema, depth = 0): { field: string; body: Record<string, unknown>; why: string }[] {
  const found: { field: string; body: Record<string, unknown>; why: string }[] = [];
  for (const [name, member] of Object.entries(schema.properties ?? {})) {
    for (const { value, why } of wrongFor(member)) found.push({ field: name, body: { [name]: value }, why });
    if (depth >= 3) continue;
    for (const inner of wrongBodies(member, depth + 1)) found.push({ field: inner.field, body: { [name]: inner.body }, why: inner.why });
    if (member.items !== undefined) {
      for (const inner of wrongBodies(member.items, depth + 1)) found.push({ field: inner.field, body: { [name]: [inner.body] }, why: inner.why });
    }
  }
  return found;
}
