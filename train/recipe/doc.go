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
// A file may begin with extends: NAME, an embedded recipe or a file beside it, and
// state only what differs. A recipe that is extended extends none itself, so one
// look back shows every value; name, claim, source, hardware and measured are each
// recipe's own.
//
// Keys use the paper's symbols where it has them: tau_s, tau_t (equations 3, 4),
// m (equation 6), K (size of the queue). Unknown keys and impossible values are
// refused with the reason and the nearest key.
//
// # Sweeps
//
// A sweep is a table of runs: rows × columns of overrides over one recipe or
// several, with the paper's figures beside them. The paper's Tables 1 to 6 are
// such files, embedded like the recipes:
//
//	name: table3
//	claim: InfoNCE warm-up helps on CIFAR-100       # claim, source, hardware, measured as in a recipe
//	source: Table 3
//	metric: linear                     # what paper states: linear (default) or knn, top-1 in percent
//	recipe: cifar10                    # of cells whose row or column names no other
//	set: [epochs=200]                  # overrides of every cell, as --set has them
//	seeds: [1, 2, 3]                   # each cell so many times; without: the recipe's own seed, once
//	rows:                              # an axis: points with a name and what they change …
//	  title: data set
//	  points:
//	    - {name: CIFAR-10, recipe: cifar10}
//	    - {name: CIFAR-100, recipe: cifar100, set: [tau_t=0.03]}
//	columns:                           # … or the values of one key
//	  key: infonce_warmup_epochs
//	  values: ["0", "10"]
//	paper:                             # rows × columns, null where the paper has no figure
//	  - [90.76, 89.98]
//	  - [65.03, null]
//
// Cells that differ in what the batches do not depend on (τ, K, m, network, …)
// share one stream of batches; which those are is read off the run specs, not
// stated.
package recipe
