// Package figure visualises what an encoder has learned: the nearest neighbours of
// images as one sheet (the paper's Figure 2), and images laid out in the plane, as a
// picture and as an interactive page (Figure 3).
//
// It depends on neither data sets nor encoders: pictures are pixels, classes are names.
//
//	sheet := figure.Neighbours(blocks)                    // *image.RGBA
//	rows, err := figure.Keep(blocks[0].Rows)              // small, to be kept in a file
//	plot := figure.Scatter(points, figure.ScatterOptions{})
//	err := figure.Page(w, points, thumbnails, options)    // one HTML file, no network
package figure
