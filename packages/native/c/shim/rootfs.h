// The container's root file system and its control group, as far as the shim has to do with them.
#pragma once
#include "shim.h"

bool rootfs_mount(const struct message *create, char reason[REASON_MAX]); // what containerd says is to be mounted on rootfs in the bundle
bool rootfs_unmount(void); // everything there; true also if there was nothing

// cgroup.c
bool cgroup_figures(pid_t pid, struct out *any_field, unsigned field); // as containerd's cgroup metrics, in an Any
bool cgroup_has_room(pid_t pid, uint64_t bytes); // no limit of processes, and as much memory below its limit
void oom_watch(pid_t pid);   // tells containerd when memory runs out in the group of this process
void oom_forget(void);
