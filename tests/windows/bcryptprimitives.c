/* Rust's standard library takes random bytes from bcryptprimitives.dll, which wine has since version 8.13. For an older
   wine, this is a library with the one function that is called. */
#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length) {
    return RtlGenRandom(data, (ULONG)length);
}
