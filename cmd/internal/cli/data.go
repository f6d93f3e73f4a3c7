package cli

import (
	"strings"

	"github.com/spf13/pflag"

	"resslt/ingest"
)

// Data is the flags that name a data set and its splits:
//
//	--data URI --split NAME --split NAME=FOLDER
//
// The folders that NAME=FOLDER names become part of the URI, which goes wherever the data
// is opened: to recipes, other processes and workers. Without --data the URI is their
// parameters alone, "?train=A": those of a recipe's own data.
type Data struct {
	uri     *string
	given   string // --data
	folders string // parameters
}

// RegisterData registers --data, whose URI is kept in uri with what the flags of splits
// add to it.
func RegisterData(p *pflag.FlagSet, uri *string, usage string) *Data {
	d := &Data{uri: uri}
	p.Var((*dataValue)(d), "data", usage)
	return d
}

// RegisterSplit registers --split, or another flag for the split that a verb opens. Where
// all that it is given is one NAME=FOLDER, the verb opens NAME.
func (d *Data) RegisterSplit(p *pflag.FlagSet, flag, usage string, split *string) {
	p.Var(&splitValue{data: d, split: split, once: true}, flag, usage+"; `NAME` or NAME=FOLDER, which says in which folder it is")
}

// RegisterRecipeSplit registers --split of verbs whose recipe says which split is opened:
// NAME=FOLDER does not change that.
func (d *Data) RegisterRecipeSplit(p *pflag.FlagSet, set *[]string) {
	p.Var(&splitValue{data: d, set: set}, "split", "train on split `NAME`; NAME=FOLDER says in which folder of the data a split is (train=. takes all of it); may be repeated")
}

// compose sets the URI.
func (d *Data) compose() (err error) {
	*d.uri = d.given
	switch {
	case d.folders == "":
	case d.given == "":
		*d.uri = d.folders
	default:
		*d.uri, err = ingest.WithParameters(d.given, d.folders)
	}
	return err
}

type dataValue Data

func (v *dataValue) String() string { return v.given }
func (v *dataValue) Type() string   { return "URI" }
func (v *dataValue) Set(s string) error {
	v.given = s
	return (*Data)(v).compose()
}

type splitValue struct {
	data  *Data
	split *string
	set   *[]string // of a recipe
	// Whether NAME=FOLDER may still choose NAME, and the split that it takes the place of.
	once   bool
	before *string
}

func (v *splitValue) Type() string { return "NAME" }
func (v *splitValue) String() string {
	if v.split == nil {
		return ""
	}
	return *v.split
}

func (v *splitValue) Set(s string) error {
	name, _, names := strings.Cut(s, "=")
	switch {
	case !names && v.set != nil:
		*v.set = append(*v.set, "split="+s)
		return nil
	case !names:
		*v.split, v.once, v.before = s, false, nil
		return nil
	}
	uri, err := ingest.WithSplitFolder("folder:"+v.data.folders, s)
	if err != nil {
		return err
	}
	v.data.folders = strings.TrimPrefix(uri, "folder:")
	if v.split != nil {
		v.choose(name)
	}
	return v.data.compose()
}

// choose has the verb open the split whose folder was named, unless another was chosen or
// is named as well.
func (v *splitValue) choose(name string) {
	switch {
	case v.once:
		before := *v.split
		v.before, v.once = &before, false
		*v.split = ingest.SplitName(name)
	case v.before != nil:
		*v.split, v.before = *v.before, nil
	}
}
