// Sizes of disks as a guest sees them. All are sparse: what is not written takes no room.
// A clone's guest has learned them from its template, so they are the same for every machine.

/** Of a read-only layer, whatever its image holds. */
export const layerDiskBytes = 64 * 2 ** 30;
/** Of what a container writes. */
export const scratchBytes = 8 * 2 ** 30;
