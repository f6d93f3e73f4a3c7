package session

import (
	"fmt"

	"resslt/schemas/errs"
	"resslt/train"
)

// startFrom finds the file that the run's encoders start from, checks that each of its weights has
// a place, and keeps its digest in the recipe. A run that is resumed has weights of its own, and
// its file is only compared.
func (p *Plan) startFrom() (err error) {
	r := p.Recipe
	if p.Resume != nil {
		return p.startedFrom()
	}
	if r.Init == "" {
		return nil
	}
	if r.Init, err = train.FindWeights(r.Init, train.Selection{}); err != nil {
		return err
	}
	found, err := train.CheckStart(r, p.Spec.EncoderSize())
	if err != nil {
		return err
	}
	p.LocalWarnings = append(p.LocalWarnings, found)
	return nil
}

// startedFrom refuses another file than the resumed run's, and says where it has changed since.
func (p *Plan) startedFrom() (err error) {
	r, was := p.Recipe, p.was
	if r.Init == was.Init && r.InitSHA256 == was.InitSHA256 {
		if digest, err := train.StartDigest(r.Init); r.Init != "" && err == nil && digest != r.InitSHA256 {
			p.LocalWarnings = append(p.LocalWarnings, fmt.Sprintf(
				"%s has changed since the run began (sha256 %.12s, it was %.12s): the run goes on from its checkpoint, and `init` no longer says what it began from", r.Init, digest, r.InitSHA256))
		}
		return nil
	}
	refused := func(why string) error {
		return errs.New("resume from", p.Out, "leave --init out: the checkpoint has the weights; or start over without --resume",
			errs.Because(errs.ErrMismatch, why))
	}
	if was.Init == "" {
		return refused("the run began from its seed's weights")
	}
	if r.Init == "" {
		return refused("the run began from " + was.Init)
	}
	if r.Init, err = train.FindWeights(r.Init, train.Selection{}); err != nil {
		return err
	}
	digest, err := train.StartDigest(r.Init)
	if err != nil {
		return err
	}
	if r.InitSHA256 = was.InitSHA256; digest != was.InitSHA256 {
		return refused(fmt.Sprintf("the run began from %s of digest %.12s, and %s has %.12s", was.Init, was.InitSHA256, r.Init, digest))
	}
	return nil
}
