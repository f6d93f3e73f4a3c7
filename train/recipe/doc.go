// Package recipe holds the hyper-parameters of a run, and nothing else does: a
// recipe is one YAML file that states one claim, on what hardware, from what
// source. The recipes of the project are embedded; a user writes a file of his
// own with the same keys, or overrides single keys:
//
//	r, err := recipe.Load("cifar10")               // embedded, or a path ending in .yaml
//	err = r.Set("tau_t=0.05", "epochs=20")         // --set, in order
//	err = r.Resolve(recipe.Host{Threads: 2})       // zero fields get their defaults, then everything is checked
//	r.YAML()                                       // the resolved recipe: printed at start, kept with the result
//
// Keys use the paper's symbols where it has them: tau_s, tau_t (equations 3, 4),
// m (equation 6), K (size of the queue). Unknown keys and impossible values are
// refused with the reason and the nearest key.
package recipe
