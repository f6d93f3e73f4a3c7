package ingest

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"resslt/schemas/errs"
)

// wdsFields are the fields of a sample, its members' extensions, that hold its image and
// its label, as the URI names them; empty ones are found by rule (wdsgroup.go,
// wdslabel.go):
//
//	wds:GLOB?image=input.jpg;input.png&label=json.class_id
type wdsFields struct {
	image []string // the first that a sample has
	label string   // a member's extension, json.KEY, or none
}

// noLabels as the field of labels leaves them out.
const noLabels = "none"

// cutFields splits what follows "wds:" into the shards and the fields.
func cutFields(arg string) (glob string, f wdsFields, err error) {
	glob, image, label, err := cutImageLabel("open wds", arg, "write ?image=FIELD&label=FIELD, as in ?image=input.jpg&label=json.class_id")
	if err != nil {
		return "", f, err
	}
	if image != "" {
		f.image = strings.Split(strings.ToLower(image), ";")
	}
	f.label = strings.ToLower(label)
	if key, isJSON := strings.CutPrefix(f.label, jsonPrefix); isJSON { // its case counts
		f.label = jsonPrefix + label[len(label)-len(key):]
	}
	if slices.Contains(f.image, "") {
		return "", f, errs.New("open wds", arg[len(glob):], "write ?image=jpg;png", errs.Because(errs.ErrUsage, "an empty field of images"))
	}
	return glob, f, nil
}

// cutImageLabel splits ?image=A&label=B, in any order, off a glob; "" for what is not
// named. Signs that would end a value are escaped as in other URIs. A '?' of a glob stays
// one.
func cutImageLabel(op, arg, hint string) (glob, image, label string, err error) {
	at := max(strings.LastIndex(arg, "?image="), strings.LastIndex(arg, "?label="))
	if at < 0 {
		return arg, "", "", nil
	}
	for part := range strings.SplitSeq(arg[at+1:], "&") {
		name, value, _ := strings.Cut(part, "=")
		if v, err := url.PathUnescape(value); err == nil {
			value = v
		}
		switch name = strings.ToLower(name); {
		case name == "image" && value != "" && image == "":
			image = value
		case name == "label" && value != "" && label == "":
			label = value
		default:
			return "", "", "", errs.New(op, arg[at:], hint, errs.Because(errs.ErrUsage, fmt.Sprintf("%q names no image or label, or one of them again", part)))
		}
	}
	return arg[:at], image, label, nil
}

// imageStem splits the last extension off a field that holds an image by its name: "" of
// jpg, "input" of input.jpg. Runs of digits count as one: v1.003.jpg and v2.004.jpg are
// the same field of samples whose keys have dots.
func imageStem(field string) (stem string, ok bool) {
	if field == "img" || field == "image" { // what webdataset's writer stores as JPEG
		return field, true
	}
	i := strings.LastIndexByte(field, '.')
	if !isImageExt(field[i+1:]) {
		return "", false
	}
	var b strings.Builder
	digits := false
	for _, c := range []byte(field[:max(i, 0)]) {
		isDigit := '0' <= c && c <= '9'
		if isDigit && !digits {
			b.WriteByte('#')
		} else if !isDigit {
			b.WriteByte(c)
		}
		digits = isDigit
	}
	return b.String(), true
}
