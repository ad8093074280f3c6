/** A rule was broken. */
export class Violation extends Error {}
