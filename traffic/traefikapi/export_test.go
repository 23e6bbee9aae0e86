package traefikapi

// Named is named, for its fuzz test.
var Named = named
