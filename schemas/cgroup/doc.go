// Package cgroup finds the control groups of this process, of version 1 and 2, nested and in
// containers, for who reads their limits: of processors and of memory (cgroups(7)).
package cgroup
