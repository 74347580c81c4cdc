/* What the mount option favordynmods of control groups gives and takes: a move of a process after a rest; fork and exit, a thread,
 * a program. Medians.
 *     gcc -O2 -pthread -o moves tests/bench/moves.c && sudo ./moves /sys/fs/cgroup/<where we are>/cgroup.procs
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 300, MOVES = 25, AT_ONCE = 100 };

static double now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static int compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static double median(double *values, int count) {
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

static void *nothing(void *argument) { return argument; }

static void fork_and_exit(void) {
    pid_t pid = vfork();
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
}

static void start_thread(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, nothing, NULL);
    pthread_join(thread, NULL);
}

static void run_program(void) {
    char *argv[] = {"/bin/true", NULL};
    pid_t pid;
    posix_spawn(&pid, argv[0], NULL, NULL, argv, NULL);
    waitpid(pid, NULL, 0);
}

static double measure(void (*work)(void)) {
    double each[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        double begun = now_us();
        for (int count = 0; count < AT_ONCE; count++)
            work();
        each[round] = (now_us() - begun) / AT_ONCE;
    }
    return median(each, ROUNDS);
}

static double move(const char *procs) {
    double each[MOVES];
    for (int round = 0; round < MOVES; round++) {
        usleep(150000);
        double begun = now_us();
        int file = open(procs, O_WRONLY);
        if (file < 0 || write(file, "0", 1) < 0) {
            perror(procs);
            exit(1);
        }
        close(file);
        each[round] = now_us() - begun;
    }
    return median(each, MOVES);
}

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    printf("move %.0f us   fork and exit %.1f us   thread %.1f us   program %.0f us\n", move(argv[1]), measure(fork_and_exit),
           measure(start_thread), measure(run_program));
    return 0;
}
