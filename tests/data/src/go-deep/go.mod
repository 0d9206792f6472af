module walk

go 1.21
