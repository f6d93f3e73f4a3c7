// Package cores says how much of the machine's processors belongs to this process,
// and how many threads libtorch takes of it.
//
//   - cores: the processors that the process may run on (its affinity mask), and no
//     more than its cgroup's quota lets it use at a time. A container on a machine of
//     64 processors that may use 4 has 4.
//   - threads: libtorch's, one a core. OMP_NUM_THREADS wins over that, and a recipe's
//     `threads` or a --threads flag over both.
//
// More threads than cores cost much: a parallel loop ends with its last thread, and a
// thread that the quota or another program holds up keeps all others waiting.
//
// Go's own GOMAXPROCS heeds the quota, too, but never goes below 2 and gives no reason;
// packages outside of cmd use it.
package cores
