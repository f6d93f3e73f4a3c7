// Package cores determines how many of the machine's processors this process may use,
// and how many threads libtorch takes.
//
//   - cores: the processors in the process's affinity mask, limited by its cgroup's
//     quota. A container that may use 4 of a machine's 64 processors has 4.
//   - workers: images rendered at once beside a trainer, one for each core; two fewer where
//     the trainer is on a GPU. The --workers flag overrides that.
//   - threads: libtorch's, one for each core. OMP_NUM_THREADS overrides that, and a
//     recipe's threads or the --threads flag override both.
//
// More threads than cores are expensive: a parallel loop ends with its last thread, and
// a thread that the quota or another program delays keeps all others waiting.
//
// Go's GOMAXPROCS respects the quota, too, but is never below 2 and gives no reason;
// packages outside cmd use it.
package cores
