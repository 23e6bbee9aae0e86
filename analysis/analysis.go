// Package analysis knows what to ask of a metrics source, and what the answers mean.
//
// A [Definition] is what a user wants measured in one evidence scope. Bound to the two arms of a release it
// becomes a [Plan]: [Plan.Asks] says what to ask for a window, [Plan.Fold] turns the answers into a
// [judge.Look] and the next [Cursor]. It is pure: sources (package promsource) get the samples, the engine decides when
// to look, and package rollout acts on verdicts.
//
// Counts are exact: they come from raw samples, and resets, first appearances, gaps and outages are accounted
// for series by series; see [Cursor]. rate() and increase() extrapolate, and miss the first errors of a new series.
package analysis
