// The numbers of packages/native/c/vm/protocol.h and monitor.h. Data only; the header is the contract.

export const op = {
  hello: 1, configure: 2, spawn: 3, stdin: 4, stdinClose: 5, credit: 6, signal: 7, winsize: 8, ps: 9, stats: 10, poweroff: 11, ping: 12, clock: 13, update: 14, prepare: 15, execute: 16,
  configured: 32, spawned: 33, stdout: 34, stderr: 35, eof: 36, exited: 37, error: 38, psReply: 39, statsReply: 40, pong: 41, oom: 42, updated: 43, prepared: 44, released: 45, awaiting: 46,
  start: 128, state: 129, stopNow: 130,
} as const;

/** Tags of CONFIGURE. */
export const configure = {
  clock: 1, layer: 2, scratch: 3, rootReadonly: 4, hostname: 5, domainname: 6, mount: 7, file: 8, sysctl: 9, link: 10, address: 11, route: 12,
  maskedPath: 13, readonlyPath: 14, device: 15, machineId: 16, pids: 17,
} as const;

/** Tags of SPAWN. */
export const spawnTag = { arg: 1, env: 2, cwd: 3, ids: 4, tty: 5, stdin: 6, caps: 7, rlimit: 8, noNewPrivs: 9, oomScoreAdj: 10, seccomp: 11, files: 12, hook: 13, hookState: 14, await: 15 } as const;

/** Tags of UPDATE. */
export const updateTag = { memory: 1, pids: 2, sharedAddress: 3 } as const;

export const headerBytes = 12;
export const maxPayload: number = 1 << 20;
/** VM_SIGNAL_ALL */
export const signalAll = 1;
