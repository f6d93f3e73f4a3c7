//go:build !linux

package child

import "syscall"

// tied keeps a terminal's interrupt from a child: the driver ends its children
// itself. Where the driver is killed, they stay.
func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
