/*
 * poison.h: functions that may not be called in this program. Included last by every .c file;
 * a call to one of them does not compile. Each has a bounded or checked counterpart:
 * strlcpy, strlcat, snprintf, strsep, strtonum, fgets.
 */
#ifndef BASE_POISON_H
#define BASE_POISON_H

#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol atof gets stpcpy

#endif
