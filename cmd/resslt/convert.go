package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/cli"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/schemas/sniff"
	"resslt/train"
	"resslt/train/foreign"
	"resslt/train/safetensors"
)

func newConvertCommand() *cobra.Command {
	var want foreign.Want
	var role string
	c := &cobra.Command{
		Use:   "convert CHECKPOINT ENCODER.safetensors",
		Short: "the encoder of a PyTorch checkpoint (.pth, .pt, .ckpt, .bin), as safetensors",
		Long: `convert reads a checkpoint of another project, and writes its encoder under
torchvision's keys: the student, without heads, queues and optimisers. It needs no
Python, and runs nothing of what the checkpoint holds.

Every --checkpoint takes such a file as it is; what convert writes is smaller, and
torchvision loads it.`,
		Example: `  resslt convert ressl-200.pth ressl.safetensors
  resslt convert dino_full.pth dino.safetensors --key teacher`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) != 2 {
				return errs.New("", c.CommandPath(), "name the checkpoint and the file to write", errs.Because(errs.ErrUsage, "it takes two files"))
			}
			if err := checkConversion(args[0], args[1]); err != nil {
				return err
			}
			for _, r := range foreign.Roles {
				if role == string(r) {
					want.Role = r
				}
			}
			e, err := foreign.Read(args[0], want)
			if err != nil {
				return err
			}
			if err := train.WriteEncoder(args[1], e); err != nil {
				return err
			}
			what := ""
			if e.Guess.Backbone != "" {
				what = " of a " + e.Guess.Backbone
				if e.Guess.ShowsStem() {
					what += fmt.Sprintf(", width %d, %s stem", e.Guess.Width, e.Guess.Stem)
				}
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %d tensors below %q%s\n", args[1], len(e.Tensors), e.Prefix, what)
			if len(e.Dropped) > 0 {
				fmt.Fprintln(c.OutOrStdout(), "left out, below the same: "+foreign.Summary(e.Dropped))
			}
			if len(e.Unknown) > 0 {
				fmt.Fprintln(c.OutOrStdout(), "warning: left out, and known of no encoder and of no head: "+foreign.Summary(e.Unknown))
			}
			return nil
		},
	}
	p := c.Flags()
	p.StringVar(&want.Prefix, "prefix", "", "keys of the encoder begin with this `text`, where several fit")
	p.StringVar(&role, "key", "", "`network` to take where there are several: student (default), teacher or ema")
	cli.Choices(p, []string{"student", "teacher", "ema"}, "key")
	// Until Go read pickles.
	for _, name := range []string{"python", "trust"} {
		if name == "python" {
			p.String(name, "", "")
		} else {
			p.Bool(name, false, "")
		}
		_ = p.MarkDeprecated(name, "it is not needed any more: no Python reads the checkpoint, and nothing of it is run") // fails for no flag alone
	}
	return c
}

// checkConversion refuses an input that is no file, and an output that is the input or
// can be no file: the encoder is a part of what the checkpoint holds.
func checkConversion(from, to string) error {
	in, err := os.Stat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return errs.New("convert", from, "name an existing file", errs.ErrNotFound)
	}
	if err != nil {
		return errs.New("convert", from, "see who may read it", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	if kind := sniff.Irregular(from); kind.Name != "" {
		return errs.New("convert", from, kind.Hint, errs.Because(errs.ErrUsage, "it is "+kind.Name))
	}
	if out, err := os.Stat(to); err == nil && os.SameFile(in, out) {
		return errs.New("convert", to, "name another file to write", errs.Because(errs.ErrUsage, "it is the checkpoint itself"))
	}
	if sniff.File(from).Name == "a safetensors file" {
		if err := checkForeign(from); err != nil {
			return err
		}
	}
	return durable.Check(to)
}

// checkForeign refuses a safetensors file that --checkpoint and export know better.
func checkForeign(path string) error {
	_, ours, err := train.EncoderMeta(path)
	if err != nil {
		return err
	}
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if ours || !foreign.Is(f.Names()) {
		return errs.New("convert", path, "give it to --checkpoint as it is", errs.Because(errs.ErrUsage, "it is a safetensors file of torchvision's keys"))
	}
	return nil
}
