// Root file systems of machines: what the rest of runv uses of this directory.
export { sweepLayers } from './layers.ts';
export { planRootfs, type GuestRecord, type RootfsMode, type RootfsPlan, type RootfsRequest } from './plan.ts';
export { virtiofsdCommand, type Share, type SideProcess } from './virtiofs.ts';
