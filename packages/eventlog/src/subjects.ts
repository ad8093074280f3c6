// Subjects of NATS: matching against a filter with wildcards. No IO.

/** `*` stands for one token, `>` at the end for one or more. */
export function subjectMatches(filter: string, subject: string): boolean {
  if (filter === '>' || filter === subject) return true;
  const wanted = filter.split('.');
  const tokens = subject.split('.');
  for (const [at, want] of wanted.entries()) {
    if (want === '>') return tokens.length > at;
    if (tokens[at] === undefined || (want !== '*' && want !== tokens[at])) return false;
  }
  return wanted.length === tokens.length;
}
