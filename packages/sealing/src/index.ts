// Sealing of secrets with the cluster's keys: what the api seals, agents open. Keeps nothing but the keys in memory.
export * from './keyring.ts';
export * from './key-file.ts';
export * from './sealed-box.ts';
