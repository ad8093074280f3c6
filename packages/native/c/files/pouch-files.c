// pouch-files: reads or writes the files of one container for somebody on the host, one request in a life, by the frames of files.h over stdin and stdout. It
// knows no tar. It enters the container's root before it looks at any path, and keeps only the rights that the request takes.
//
//   pouch-files read|write process PID
//   pouch-files read|write mount TYPE SOURCE DATA DIRECTORY TARGET ro|rw { SOURCE TARGET ro|rw recursive|single }
//
// `mount`: mount(2) of TYPE at TARGET, from DIRECTORY, in a namespace of its own, then the binds; all paths of the host but the binds' targets. It ends with
// its parent, with its input, and at the first thing that fails, which it tells.
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

// At once, whatever it is at: the next life of the parent may mount what this one has mounted. A half file is taken away before.
static void on_parents_death(int number)
{
	(void)number;
	if (before_giving_up != NULL) before_giving_up();
	_exit(1);
}

int main(int count, char **arguments)
{
	signal(SIGHUP, on_parents_death);
	prctl(PR_SET_PDEATHSIG, SIGHUP);
	if (count < 4) give_up(EINVAL, "read or write, of what");
	if (strcmp(arguments[2], "process") == 0) open_process(arguments[3]);
	else if (strcmp(arguments[2], "mount") == 0) open_mounts(arguments + 3);
	else give_up(EINVAL, "%s: neither process nor mount", arguments[2]);
	serve_files(strcmp(arguments[1], "write") == 0, enter);
	return 0;
}
