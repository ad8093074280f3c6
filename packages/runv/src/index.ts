// The public face of runv as a library, for scripts and tests. Whoever runs containers executes bin/runv instead.
export * from './machine/index.ts';
export * from './rootfs/index.ts';
