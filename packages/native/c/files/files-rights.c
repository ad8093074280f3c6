// pouch-files: what it may do, once it is where it is to be.
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OPEN_FILES (FILES_DEPTH_MAX + 256u)

enum { CHOWN = 0, DAC_OVERRIDE = 1, DAC_READ_SEARCH = 2, FOWNER = 3, FSETID = 4, MKNOD = 27, SETFCAP = 31, LAST_CAPABILITY = 63 };

// Keeps what reading, or making, files of any owner takes; no new right can be won after that.
void drop_rights(bool writing)
{
	const uint32_t kept = writing ? 1u << CHOWN | 1u << DAC_OVERRIDE | 1u << FOWNER | 1u << FSETID | 1u << MKNOD | 1u << SETFCAP : 1u << DAC_READ_SEARCH;
	struct { uint32_t version; int pid; } header = { 0x20080522, 0 };
	struct { uint32_t effective, permitted, inheritable; } sets[2] = { { kept, kept, 0 }, { 0, 0, 0 } };
	const struct rlimit files = { OPEN_FILES, OPEN_FILES }, none = { 0, 0 };
	for (int i = 0; i <= LAST_CAPABILITY; i++)
		if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0 && errno != EINVAL) give_up(errno, "rights could not be dropped");
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || setrlimit(RLIMIT_CORE, &none) < 0) give_up(errno, "limits");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_capset, &header, sets) < 0) give_up(errno, "rights could not be dropped");
}
