// Package child runs programs as children of the one that measures or torments them: the fault
// suite and the simulated farm. They die with their parent, however that ends; their output goes
// to files; signals go to them alone, by their id.
package child
