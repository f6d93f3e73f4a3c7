package session

import (
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/pipeline"
	"resslt/train/recipe"
)

// ResolveRecipe overrides fields of a recipe, its data where data is not "", and fills in
// what it leaves open from this machine, for a process that may use the cores given.
func ResolveRecipe(r *recipe.Recipe, data string, set []string, have cores.Cores) error {
	if err := r.Set(set...); err != nil {
		return err
	}
	if data != "" {
		r.Data = data
	}
	return r.Resolve(pipeline.Host(have, r.Data))
}
