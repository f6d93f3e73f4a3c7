package ingest

import (
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

// cutFields splits what follows "wds:" into the shards and the fields. A '?' of a glob
// stays one.
func cutFields(arg string) (glob string, f wdsFields, err error) {
	at := max(strings.LastIndex(arg, "?image="), strings.LastIndex(arg, "?label="))
	if at < 0 {
		return arg, f, nil
	}
	for _, part := range strings.Split(arg[at+1:], "&") {
		name, value, _ := strings.Cut(strings.ToLower(part), "=")
		switch {
		case name == "image" && value != "" && f.image == nil:
			f.image = strings.Split(value, ";")
		case name == "label" && value != "" && f.label == "":
			f.label = value
			if key, isJSON := strings.CutPrefix(value, jsonPrefix); isJSON { // its case counts
				f.label = jsonPrefix + part[len(part)-len(key):]
			}
		default:
			return "", f, errs.New("open wds", arg[at:], "write ?image=FIELD&label=FIELD, as in ?image=input.jpg&label=json.class_id",
				errs.Because(errs.ErrUsage, "no such field option"))
		}
	}
	if i := slices.Index(f.image, ""); i >= 0 {
		return "", f, errs.New("open wds", arg[at:], "write ?image=jpg;png", errs.Because(errs.ErrUsage, "an empty field of images"))
	}
	return arg[:at], f, nil
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
