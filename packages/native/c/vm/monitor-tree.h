// Removal of a directory with all that is in it.
#ifndef POUCH_MONITOR_TREE_H
#define POUCH_MONITOR_TREE_H

// By descriptors, never through a link: QEMU's user may write below it. A tree deeper than 8 directories stays. What cannot be removed is left, and so is
// what it is in. 0, or -1 with errno when NAME is still there.
int tree_remove(int parent, const char *name);
#endif
