package child

import "syscall"

// tied has a child die with the driver, however that ends, and keeps a terminal's
// interrupt from it: the driver ends its children itself.
func tied() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
