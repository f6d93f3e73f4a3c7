// Package sheet draws what a run trains on, for people: one PNG sheet with a row for each
// sample, which shows the original with the crop boxes of its views, then every view with
// its plan. A view's frame has the colour of its box.
//
//	drawn, policy, err := sheet.Samples(ctx, sheet.Options{Data: uri, Policy: "small", Count: 4})
//	slots, err := sheet.Slots(spec, chunk, 0, 4)             // of a step, recorded or just now
//	row := slots[0].Row(spec.Views)
//	picture := sheet.Stack(rows)
package sheet
