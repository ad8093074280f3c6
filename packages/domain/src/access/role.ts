// What somebody may do in the cluster, in three steps; each has all that the one below has. Who has which role is decided elsewhere.

export const roles = ['read', 'operate', 'admin'] as const;
/** `read`: look. `operate`: containers and images. `admin`: the cluster itself, its tokens, secrets and rules. */
export type Role = (typeof roles)[number];

export function isRole(text: string): text is Role {
  return (roles as readonly string[]).includes(text);
}

export function hasRole(has: Role, needed: Role): boolean {
  return roles.indexOf(has) >= roles.indexOf(needed);
}

/** 1 to 63 of `a-z 0-9 -`, beginning with a letter or digit: a name of a token or a secret, which is a token of NATS subjects. */
export function isAccessName(text: string): boolean {
  return /^[a-z0-9][a-z0-9-]{0,62}$/.test(text);
}
