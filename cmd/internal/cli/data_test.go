package cli

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// Flags in any order name the same data and choose the same split.
func TestDataFlags(t *testing.T) {
	for _, c := range []struct{ args, uri, split, set string }{
		{"--data folder:d", "folder:d", "train", ""},
		{"--data folder:d --split test", "folder:d", "test", "split=test"},
		{"--split test=T --data folder:d", "folder:d?test=T", "test", ""},
		{"--data folder:d --split valid=V", "folder:d?val=V", "val", ""},
		{"--data folder:d --split train=A --split test=B", "folder:d?train=A&test=B", "train", ""},
		{"--data folder:d --split test=B --split train=A --split val=C", "folder:d?train=A&test=B&val=C", "train", ""},
		{"--data folder:d --split val --split test=B", "folder:d?test=B", "val", "split=val"},
		{"--split test=B --split val --data folder:d", "folder:d?test=B", "val", "split=val"},
		{"--split train=A --data folder:d?test=B", "folder:d?train=A&test=B", "train", ""},
		{"--split train=A --data folder:d?train=B", "folder:d?train=A", "train", ""},
		{"--split train=a&b", "?train=a%26b", "train", ""},
		{"--split train=.", "?train=.", "train", ""},
		{"--data cifar10:d --split test", "cifar10:d", "test", "split=test"},
	} {
		for _, recipe := range []bool{false, true} {
			p := pflag.NewFlagSet("", pflag.ContinueOnError)
			var uri string
			var set []string
			split := "train"
			d := RegisterData(p, &uri, "")
			if recipe {
				d.RegisterRecipeSplit(p, &set)
			} else {
				d.RegisterSplit(p, "split", "", &split)
			}
			if err := p.Parse(strings.Fields(c.args)); err != nil {
				t.Fatal(c.args, err)
			}
			want := c.split
			if recipe {
				want = "train"
			}
			if uri != c.uri || split != want || recipe && strings.Join(set, " ") != c.set {
				t.Errorf("%s: %s, split %s, set %q; want %s, %s, %q", c.args, uri, split, set, c.uri, want, c.set)
			}
		}
	}
	for _, args := range []string{"--split all=A", "--split train=", "--split train=../A", "--split test=T --data cifar10:d", "--data wds:x --split test=T"} {
		p := pflag.NewFlagSet("", pflag.ContinueOnError)
		var uri, split string
		RegisterData(p, &uri, "").RegisterSplit(p, "split", "", &split)
		if err := p.Parse(strings.Fields(args)); err == nil {
			t.Errorf("%s: no error", args)
		}
	}
}
