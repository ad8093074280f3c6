// The rules of Pouch: pure decisions and the states they lead to. No clock, no ids, no randomness, no IO; imports nothing.
export * from './aggregates.ts';
export * from './decision.ts';
export * from './ids.ts';
export * from './container/decide.ts';
export * from './container/evolve.ts';
export * from './container/restart-policy.ts';
export * from './container/spec.ts';
export * from './container/state.ts';
export * from './exec.ts';
export * from './host.ts';
export * from './image.ts';
export * from './kernel.ts';
export * from './machine.ts';
export * from './placement/placement.ts';
export * from './placement/schedule.ts';
