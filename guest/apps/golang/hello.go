// SPDX-License-Identifier: Apache-2.0
package main

import (
	"fmt"
	"runtime"
)

func main() {
	numbers := make(chan int)
	for i := 0; i < 1000; i++ {
		go func(i int) { numbers <- i }(i)
	}
	sum := 0
	for i := 0; i < 1000; i++ {
		sum += <-numbers
	}
	fmt.Printf("Hello from %s: the sum is %d\n", runtime.Version(), sum)
}
