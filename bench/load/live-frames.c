/*
 * live-frames PROGRAM COUNT CPU: has the kernel run a pinned program of XDP on so many frames of its own and send them where
 * the program says (BPF_F_TEST_XDP_LIVE_FRAMES). Prints what that took of the processor, in ns: its own time and that of
 * the kernel's thread that goes on with what is too much at once.
 */
#define _GNU_SOURCE
#include <linux/bpf.h>
#include <sched.h>
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BATCH 64

static long bpf(int command, union bpf_attr *about)
{
	return syscall(SYS_bpf, command, about, sizeof(*about));
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t used_by(const char *path)
{
	unsigned long long used = 0;
	FILE *file = fopen(path, "r");

	if (!file || fscanf(file, "%llu", &used) != 1)
		fail(path);
	fclose(file);
	return used;
}

/* The thread of the kernel for this processor. */
static void find_thread(int cpu, char *path, size_t size)
{
	char wanted[32], name[32], comm[300];
	DIR *all = opendir("/proc");

	snprintf(wanted, sizeof(wanted), "ksoftirqd/%d\n", cpu);
	for (struct dirent *one; (one = readdir(all));) {
		snprintf(comm, sizeof(comm), "/proc/%s/comm", one->d_name);
		FILE *file = fopen(comm, "r");
		int is_it = file && fgets(name, sizeof(name), file) && strcmp(name, wanted) == 0;

		if (file)
			fclose(file);
		if (is_it) {
			snprintf(path, size, "/proc/%.200s/schedstat", one->d_name);
			closedir(all);
			return;
		}
	}
	fail("ksoftirqd");
}

int main(int count, char **words)
{
	/* 60 octets: Ethernet, IPv4 from 203.0.113.1, UDP from port 443. */
	unsigned char frame[60] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0,
				    203, 0, 113, 1, 198, 18, 0, 0, 1, 187, 8, 0, 0, 26 };
	char thread[300];
	union bpf_attr about = {};

	if (count != 4)
		return 2;
	int cpu = atoi(words[3]);
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) != 0)
		fail("sched_setaffinity");
	about.pathname = (uint64_t)(uintptr_t)words[1];
	int program = bpf(BPF_OBJ_GET, &about);

	if (program < 0)
		fail(words[1]);
	find_thread(cpu, thread, sizeof(thread));
	memset(&about, 0, sizeof(about));
	about.test.prog_fd = program;
	about.test.data_in = (uint64_t)(uintptr_t)frame;
	about.test.data_size_in = sizeof(frame);
	about.test.repeat = atoi(words[2]);
	about.test.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
	about.test.batch_size = BATCH;
	uint64_t before = used_by("/proc/self/schedstat") + used_by(thread);

	if (bpf(BPF_PROG_TEST_RUN, &about) != 0)
		fail("BPF_PROG_TEST_RUN");
	printf("%llu\n", (unsigned long long)(used_by("/proc/self/schedstat") + used_by(thread) - before));
	return 0;
}
